import pytest

from convlstm.errors import ConfigError
from convlstm.toolkits.detectors.base import choose_classes

pytestmark = pytest.mark.pure

NAMES = {0: "fire", 1: "Smoke", 7: "spray"}


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [((), None), (("smoke", "fire"), (0, 1)), (("7", "FIRE"), (0, 7)), (("fire", "0"), (0,))],
)
def test_classes_by_name_or_number(wanted: tuple[str, ...], chosen: tuple[int, ...] | None) -> None:
    assert choose_classes(wanted, NAMES) == chosen


def test_an_unknown_class_is_told_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r'no class "smok": did you mean "Smoke"\? known are 0 fire, 1 Smoke, 7 spray'
    ):
        choose_classes(("smok",), NAMES)
    with pytest.raises(ConfigError, match=r'no class "2": known are'):
        choose_classes(("2",), NAMES)


def test_without_names_only_numbers_are_taken() -> None:
    assert choose_classes(("3",), {}) == (3,)
    with pytest.raises(ConfigError, match="holds no names: give numbers"):
        choose_classes(("fire",), {})


def test_many_names_are_not_all_told() -> None:
    with pytest.raises(ConfigError, match=r"19 c19 and 60 more"):
        choose_classes(("x",), {number: f"c{number}" for number in range(80)})
