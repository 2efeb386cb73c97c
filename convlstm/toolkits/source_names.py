"""Which video a sequence was cut from, as far as the names of its folders tell.

video3_clip_002        video3          a word for a part, with its number
cam1_0001              cam1            a counter behind a name that holds a number itself
kitchen_12-00_part2    kitchen_12-00   nothing is taken off a date or time: it says which recording
fire_0007              fire_0007       a counter behind a mere word: fires are counted, not parts of one fire
video3/person_1        video3          a folder between the class and the sequence names the source
kitchen/frames         kitchen         where that says something
"""

import re
from collections.abc import Collection, Sequence

_WORDS = """
clip part pt seg segment scene shot chunk split cut crop window win track trk obj object event take piece
section frag fragment seq sequence sample frame image img png jpg
aug augmented copy flip flipped rot rotated masked bbox
"""
_PARTS = frozenset(word + ending for word in _WORDS.split() for ending in ("", "s"))
_COLLECTIONS = frozenset({"videos", "data", "dataset", "raw", "all"})
_SEPARATORS = r"[\s_.\-]+"
_COUNTER = re.compile(rf"{_SEPARATORS}[tfn#]?\d{{1,7}}(?:s|sec|ms|f)?$|\s*\(\d{{1,3}}\)$", re.IGNORECASE)
_PART = re.compile(rf"{_SEPARATORS}(?:{'|'.join(sorted(_PARTS, key=len, reverse=True))}){_SEPARATORS[:-1]}*\d*$", re.I)
# A day, and a time of day with seconds or with marks between its parts: 20240131_120000, 2024-01-31 12.00
_MOMENT = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"(?:[-_ T.]*(?:[01]\d|2[0-3])(?:[0-5]\d[0-5]\d|[-_.:h][0-5]\d(?:[-_.:m][0-5]\d)?))?(?!\d)"
)


def source_name(parts: Sequence[str], classes: Collection[str]) -> str:
    """The group of a sequence: `parts` are its folders below the class folder, its own name, without suffix, last.

    Too many in one group is noticed at once; two parts of one video in two groups are not. So the folder above decides
    where there is one that says more than a word for a part, a number or the name of a class.
    """
    for part in reversed(parts[:-1]):
        name = without_part(part, classes)
        if _says_something(name, classes) and name.casefold() not in _COLLECTIONS:
            return name
    return without_part(parts[-1], classes)


def without_part(name: str, classes: Collection[str]) -> str:
    """A name without what counts the parts at its end; as it is where nothing would be left that names a source."""
    while (shorter := _one_less(name, classes)) != name:
        name = shorter
    return name


def _one_less(name: str, classes: Collection[str]) -> str:
    protected = max((match.end() for match in _MOMENT.finditer(name)), default=0)
    for pattern in (_PART, _COUNTER, _class_suffix(classes)):
        match = pattern.search(name, protected)
        if match is None:
            continue
        rest = name[: match.start()]
        is_counter = pattern is _COUNTER and not match[0].endswith(")")
        if _says_something(rest, classes) and (not is_counter or re.search(r"\d", rest)):
            return rest
    return name


def _class_suffix(classes: Collection[str]) -> re.Pattern[str]:
    names = "|".join(re.escape(name) for name in sorted(classes, key=len, reverse=True))
    return re.compile(rf"{_SEPARATORS}(?:{names})$", re.IGNORECASE)


def _says_something(name: str, classes: Collection[str]) -> bool:
    """Whether anything is left of a name without part words, numbers and names of classes; a date says something."""
    words = re.split(r"[\W\d_]+", name.casefold())
    silent = {*_PARTS, *(word for kind in classes for word in re.split(r"[\W\d_]+", kind.casefold())), ""}
    return any(word not in silent for word in words) or _MOMENT.search(name) is not None
