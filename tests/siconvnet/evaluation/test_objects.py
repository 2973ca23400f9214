import pytest
import torch

from siconvnet.evaluation.objects import ObjectImages, object_maps


def objects(**changes) -> ObjectImages:
    given = {
        "images": torch.zeros(2, 3, 1, 1, 10, 12, dtype=torch.uint8),
        "positions": torch.zeros(2, 3, 1, 2, dtype=torch.int64),
        "scales": (6, 10),
    }
    return ObjectImages(**(given | changes))


def test_a_part_of_a_map_sees_the_whole_object_and_nothing_else():
    image = torch.zeros(1, 1, 20, 20)
    image[:, :, 4:13, 7:16] = 1  # 9 pixels from x = 7, y = 4
    maps = torch.nn.functional.avg_pool2d(image, 5, stride=1)
    part = object_maps(maps, torch.tensor([[7, 4]]), scale=9, image_side=20)
    assert part.shape == (1, 1, 5, 5)
    torch.testing.assert_close(part, torch.ones(1, 1, 5, 5))


def test_each_image_has_its_own_place():
    maps = torch.arange(2 * 3 * 8 * 8.0).reshape(2, 3, 8, 8)
    part = object_maps(maps, torch.tensor([[1, 2], [3, 0]]), scale=4, image_side=8)
    assert torch.equal(part[0], maps[0, :, 2:6, 1:5])
    assert torch.equal(part[1], maps[1, :, 0:4, 3:7])


def test_an_object_smaller_than_a_view_has_an_empty_part():
    part = object_maps(torch.zeros(2, 3, 44, 44), torch.zeros(2, 2, dtype=int), 17, image_side=64)
    assert part.shape == (2, 3, 0, 0)


def test_what_of_an_oblong_objects_square_box_leaves_the_image_is_nan():
    maps = torch.arange(2 * 3 * 8 * 8.0).reshape(2, 3, 8, 8)
    part = object_maps(maps, torch.tensor([[1, 2], [6, 5]]), scale=4, image_side=8)
    assert torch.equal(part[0], maps[0, :, 2:6, 1:5])
    assert torch.equal(part[1, :, :3, :2], maps[1, :, 5:8, 6:8])
    assert part[1, :, 3:].isnan().all()
    assert part[1, :, :, 2:].isnan().all()


def test_a_batch_is_in_zero_to_one_and_in_the_order_of_classes():
    images = torch.zeros(2, 3, 1, 1, 10, 12, dtype=torch.uint8)
    images[1] = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1, 1)
    batch, _ = objects(images=images).batch(10, slice(1, 3), torch.device("cpu"))
    torch.testing.assert_close(batch[:, 0, 0, 0], torch.tensor([0.2, 1.0]))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"images": torch.zeros(2, 3, 1, 1, 10, 12)}, r"uint8 .* got torch.float32"),
        ({"images": torch.zeros(2, 3, 10, 12, dtype=torch.uint8)}, r"got .* \(2, 3, 10, 12\)"),
        ({"positions": torch.zeros(2, 3, 2, dtype=torch.int64)}, r"\(2, 3, 1, 2\).* got"),
        ({"scales": (6,)}, r"each of the 2 scales .* got \(6,\)"),
        ({"scales": (6, 6)}, r"each of the 2 scales .* once; got \(6, 6\)"),
        ({"positions": torch.full((2, 3, 1, 2), -1)}, "must start within its 10 x 12 image"),
        ({"positions": torch.full((2, 3, 1, 2), 10)}, "must start within its 10 x 12 image"),
    ],
)
def test_what_is_no_set_of_objects_is_refused(changes: dict, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        objects(**changes)


def test_an_oblong_object_may_lie_so_close_to_the_rim_that_its_square_box_does_not_fit():
    positions = torch.tensor([11, 9]).expand(2, 3, 1, 2)
    assert len(objects(positions=positions)) == 3
