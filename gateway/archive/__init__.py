"""The one way archives are opened here: zip, tar and tgz, read by readers of our own, unpacked by one extractor.

    archive = open_archive(path)          # every problem at once, or a list of plain files
    archive.read(name, limit)             # one file, bounded, nothing unpacked
    archive.extract(folder)               # all or nothing

Rule 1: what decides that a member is safe is what reads it: no second parser sees another archive.
Rule 2: a member's name is trusted only after `names.py` has passed it; nothing is corrected in silence.
Rule 3: every size is bounded before anything is allocated or written; claims are checked against
        the bytes that are there, and again while they are unpacked.
"""

from gateway.archive.base import Archive, Limits, Member
from gateway.archive.sniff import SUFFIXES, kind_of, open_archive

__all__ = ["SUFFIXES", "Archive", "Limits", "Member", "kind_of", "open_archive"]
