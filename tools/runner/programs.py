"""The programs for U-mode (bench/user/), which the build has packed into an archive for the guest."""
import glob
import os

from .results import ROOT

FOLDER = os.path.join(ROOT, "build", "user")
ARCHIVE = os.path.join(FOLDER, "programs.cpio")


def files():
    """{name in the archive: contents}, for those who pack something beside them."""
    found = {}
    for path in sorted(glob.glob(os.path.join(FOLDER, "*.elf"))):
        with open(path, "rb") as file:
            found[os.path.splitext(os.path.basename(path))[0]] = file.read()
    return found
