import numpy as np

from dreamduck.common.labelled_table import GAP, LINE, PAPER, Labels, labelled_table


def test_a_table_has_every_frame_in_its_place():
    colours = [np.full((30, 40, 3), colour, np.uint8) for colour in (10, 90, 170)]
    image = labelled_table([[colours[0], colours[1]], [colours[2], None]], Labels(["", ""], ["a", "b"]))
    assert image.shape == (LINE + 2 * 30 + GAP, 2 * 40 + GAP, 3)
    assert (image[LINE : LINE + 30, :40] == 10).all()
    assert (image[LINE : LINE + 30, 40 + GAP :] == 90).all()
    assert (image[LINE + 30 + GAP :, :40] == 170).all()
    assert (image[LINE + 30 + GAP :, 40:] == PAPER).all()
    assert (image[:LINE] != PAPER).any()  # the labels
    beside = labelled_table([[colours[0]]], Labels(["a row"], [""]))
    assert beside.shape[0] == 30
    assert (beside[:, -40:] == 10).all()
    assert (beside[:, :-40] != PAPER).any()
