"""Which maps a card drives on."""

from dreamduck.evaluation.model_card.driving.maps_here import MOST_MAPS, maps_here, spread


def test_generated_maps_count():
    names = ["udem1", "generated:500", "nowhere", "udem1", "generated:501", "/no/such.yaml"]
    assert maps_here(names) == ("udem1", "generated:500", "generated:501")


def test_many_maps_are_spread():
    names = tuple(f"generated:{n}" for n in range(100))
    chosen = spread(names)
    assert len(chosen) == MOST_MAPS == len(set(chosen))
    assert (chosen[0], chosen[-1]) == (names[0], names[-1])
    assert spread(names[:MOST_MAPS]) == names[:MOST_MAPS]
