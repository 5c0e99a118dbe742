"""Where names of points go in a scatter plot, so that they lie neither on each other nor on points or lines."""
import itertools
import math

# In pixels of the SVG, at the font size of such names.
LETTER_WIDTH, LINE_HEIGHT = 6.7, 14
POINT_RADIUS = 7
# How far a name's nearest edge may be from its point, near ones first; the directions, in their order of preference.
DISTANCES = (10, 20, 32, 46, 62, 80)
DIRECTIONS = [math.radians(degrees) for degrees in (0, 180, 90, 270, 30, 330, 150, 210, 60, 300, 120, 240)]
# From here on a thin line leads from the name to its point.
LEADER_FROM = 16
ROUNDS = 6


class Label:
    """A name at a place: its box in pixels, and how it is anchored: "left" means that the text begins there."""

    def __init__(self, text, point, distance, angle):
        self.point, self.distance, self.angle = point, distance, angle
        across, up = math.cos(angle), math.sin(angle)
        self.x, self.y = point[0] + distance * across, point[1] + distance * up
        self.anchor = "left" if across > 0.4 else "right" if across < -0.4 else "center"
        width = LETTER_WIDTH * len(text)
        left = self.x - {"left": 0, "right": width, "center": width / 2}[self.anchor]
        # Above or below, the nearest edge is the text's own, not its middle.
        if abs(up) > 0.8:
            self.y += math.copysign(LINE_HEIGHT / 2 - 3, up)
        self.box = (left, self.y - LINE_HEIGHT / 2, left + width, self.y + LINE_HEIGHT / 2)

    @property
    def leader(self):
        return self.distance >= LEADER_FROM


def _overlap(one, other):
    """How bad it is that two boxes share what they do: touching at all is worse than being far from the point."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return 10 + width * height if width > 0 and height > 0 else 0


def _box_of(point):
    return (point[0] - POINT_RADIUS, point[1] - POINT_RADIUS, point[0] + POINT_RADIUS, point[1] + POINT_RADIUS)


def _cost(label, obstacles, others, size):
    covered = sum(_overlap(label.box, box) for box in obstacles)
    covered += sum(_overlap(label.box, other.box) for other in others)
    left, bottom, right, top = label.box
    outside = max(0, -left) + max(0, -bottom) + max(0, right - size[0]) + max(0, top - size[1])
    crossed = sum(1 for other in others if label.leader and other.leader and _cross(label, other))
    return 10 * covered + 100 * outside + 300 * crossed + label.distance


def _cross(one, other):
    """Whether the lines that lead to two points cross."""
    def side(a, b, c):
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    a, b, c, d = one.point, (one.x, one.y), other.point, (other.x, other.y)
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


def place(names, points, size, corners=()):
    """A Label for each name; points, size and the corners of a line are in pixels, from the lower left. Each in turn takes the
    best place that the others leave it, until none moves."""
    obstacles = [_box_of(point) for point in points]
    obstacles += [(min(a[0], b[0]) - 2, min(a[1], b[1]) - 2, max(a[0], b[0]) + 2, max(a[1], b[1]) + 2)
                  for a, b in zip(corners, corners[1:])]
    labels = [Label(name, point, DISTANCES[0], DIRECTIONS[0]) for name, point in zip(names, points)]
    candidates = [[Label(name, point, *where) for where in itertools.product(DISTANCES, DIRECTIONS)]
                  for name, point in zip(names, points)]
    for _ in range(ROUNDS):
        moved = False
        for i, choices in enumerate(candidates):
            others = labels[:i] + labels[i + 1:]
            best = min(choices, key=lambda label: _cost(label, obstacles, others, size))
            moved |= best.box != labels[i].box
            labels[i] = best
        if not moved:
            break
    return labels
