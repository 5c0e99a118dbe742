"""`make stress`: clean allocators pass, planted bugs are caught in time, bad input is refused."""
import re
import time
import unittest

import support
from support import make

CAUGHT_WITHIN_S = 10


class StressTest(support.TestCase):
    def test_clean(self):
        done = make("stress", "SECONDS=3", "SEED=1", "HARTS=4")
        self.assert_ok(done)
        self.assertIn("SEED=1", done.out)
        summary = re.search(r"(\d+) operations, (\d+) checks, 0 failures in \d+ s on 4 harts; SEED=1 repeats it", done.out)
        self.assertTrue(summary, str(done))
        self.assertGreater(int(summary[1]), 1000)
        self.assertGreater(int(summary[2]), 1000)

    def test_a_seed_is_chosen_and_told(self):
        done = make("stress", "SECONDS=1", "HARTS=2")
        self.assert_ok(done)
        self.assertTrue(re.search(r"SEED=\d+", done.out), str(done))

    def test_one_allocator(self):
        done = make("stress", "SECONDS=1", "SEED=7", "FRAME=hartcache", "HARTS=2")
        self.assert_ok(done)
        self.assertNotIn("over bitmap", done.out)

    def test_unknown_allocator(self):
        self.assert_fails(make("stress", "SECONDS=1", "FRAME=buddy"), "buddy", "bitmap", "hartcache")

    def test_unknown_bug(self):
        self.assert_fails(make("stress", "SECONDS=1", "PLANT=bitmap.gone"), "bitmap.lost")

    def caught(self, bug):
        """Within the time from the first word of the guest, whichever seed."""
        self.assert_ok(make("check"))
        started = time.monotonic()
        done = make("stress", f"SECONDS={CAUGHT_WITHIN_S}", "SEED=1", f"PLANT={bug}")
        self.assertLess(time.monotonic() - started, CAUGHT_WITHIN_S + 5, str(done))
        self.assertNotEqual(done.status, 0, f"{bug} was not caught\n{done}")
        self.assertIn("FAILED", done.out + done.err)
        self.assertIn(bug.split(".")[0], done.out + done.err)

    def test_catches_a_frame_that_bitmap_loses(self):
        self.caught("bitmap.lost")

    def test_catches_a_frame_that_bitmap_gives_twice(self):
        self.caught("bitmap.twice")

    def test_catches_a_frame_that_hartcache_loses(self):
        self.caught("hartcache.lost")

    def test_catches_a_frame_that_hartcache_gives_twice(self):
        self.caught("hartcache.twice")


if __name__ == "__main__":
    unittest.main()
