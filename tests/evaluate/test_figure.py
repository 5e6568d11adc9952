import numpy as np

from fmae_edge.evaluate.figure import draw_reconstructions
from fmae_edge.evaluate.quality import Quality


def test_originals_stand_over_reconstructions(images):
    quality = Quality(mse=0.01, psnr_pooled=20.0, psnr_per_image=20.0, ssim=0.9)
    top, bottom = images[:3], 255 - images[:3]
    figure = np.asarray(draw_reconstructions(top, bottom, [quality] * 3))
    scale, margin = 5, 12
    side = 28 * scale
    for column in range(3):
        left = margin + column * (side + margin)
        for row, expected in enumerate((top[column], bottom[column])):
            upper = margin + row * (side + margin)
            np.testing.assert_array_equal(
                figure[upper : upper + side : scale, left : left + side : scale], expected
            )
    captions = figure[2 * (side + margin) + margin :]
    assert (captions < 128).any()


def test_captions_say_what_was_measured(images):
    one, other = (
        np.asarray(draw_reconstructions(images[:1], images[:1], [Quality(0.01, psnr, psnr, 0.9)]))
        for psnr in (20.0, 31.0)
    )
    assert (one != other).any()
