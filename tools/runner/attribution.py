"""Where the cycles of an operation went, by cause, for the table and the figures. Only the model knows."""

# As the model names the causes (arch/model_page.h), in the order in which they are stacked: what the hart does itself,
# then what its memory makes it wait for, then what other harts do. The label is for heads of columns.
CAUSES = {
    "compute": "compute", "atomic": "atomic", "trap": "trap", "mmio": "mmio", "tlb": "tlb", "store_drain": "drain",
    "miss": "miss", "queue": "queue", "spin": "spin", "ipi_wait": "ipi wait",
}
# Less than this of an operation is not worth a column or a colour.
WORTH_SHOWING = 0.005


def per_operation(result):
    """{cause: cycles} of one operation; empty where it is not known. Causes that a newer model adds come last."""
    causes, ops = result.get("attribution"), result.get("ops")
    if not causes or not ops:
        return {}
    known = [cause for cause in CAUSES if cause in causes]
    return {cause: causes[cause] / ops for cause in [*known, *(c for c in causes if c not in CAUSES)]}


def shown_causes(shares, most=len(CAUSES)):
    """The causes that matter to any of several operations, in order; the rest is for "other"."""
    weight = {}
    for share in shares:
        total = sum(share.values()) or 1
        for cause, cycles in share.items():
            weight[cause] = max(weight.get(cause, 0), cycles / total)
    worthy = sorted((cause for cause in weight if weight[cause] >= WORTH_SHOWING), key=lambda cause: -weight[cause])[:most]
    return [cause for cause in weight if cause in worthy]


def label(cause):
    return CAUSES.get(cause, cause.replace("_", " "))
