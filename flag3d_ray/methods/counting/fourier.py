"""Fourier analysis: the strongest frequency of the whole clip.

Paper: E. Ribnick and N. Papanikolopoulos, "3D reconstruction of periodic motion from a single view", IJCV 2010
(reference 132 of FLAG3D++; Tables 3, 5 and 7, row "Fourier Analysis"). Original code: none released. The cited work
estimates periods of point trajectories and does not count; the row's name implies the spectral reading below, and its
printed counts are integers.
Our modifications: coordinates in spine lengths, detrended and standardised, Hann window, zero-padding to eight times
the length, power summed over coordinates, count = strongest frequency times length. It assumes a steady tempo and
repetitions that fill the clip: tempo changes blur the peak and rests bias the count upwards.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from flag3d_ray.methods.base import Fitted, Shapes
from flag3d_ray.methods.counting.signals import Motion, coordinates, whole_count
from flag3d_ray.skeleton import layout


@dataclass(frozen=True, kw_only=True)
class Fourier:
    """Count = f T for the strongest frequency f in [1/T, 1/2] cycles per frame, rounded, at least 1.

    Args:
        padding: the spectrum is sampled at 1 / `padding` repetitions per clip.
        harmonics: the power at f is multiplied with that at 2 f, ..., `harmonics` f. 1 (default) uses f alone; 2 or 3
            finds the repetition of movements that are strongest at twice its frequency.
    """

    padding: int = 8
    harmonics: int = 1

    name: ClassVar[str] = "fourier"
    task: ClassVar[str] = "counting"
    paper: ClassVar[str] = "Ribnick and Papanikolopoulos, IJCV 2010; FLAG3D++, Tables 3, 5 and 7, row Fourier Analysis"
    language: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.padding < 1 or self.harmonics < 1:
            raise ValueError(f"padding={self.padding} and harmonics={self.harmonics} must be at least 1")

    def build(self, shapes: Shapes, seed: int) -> Fitted:
        """An estimator without state; the seed has no effect."""
        from flag3d_ray.methods.counting.analytic import Analytic

        return Analytic(self.count, layout(shapes.layout), empty=1.0)

    def count(self, joints_TVC: Motion) -> float:
        """Repetitions in one clip, T >= 2 frames in spine lengths. A still clip counts 1."""
        power_F = self.spectrum(joints_TVC)
        # A standardised coordinate that repeats has a power near T^2 / 8, what detrending leaves of a still clip 1e-27.
        moves = power_F.max() > 1e-6
        return whole_count(1.0 + power_F.argmax() / self.padding) if moves else 1.0

    def spectrum(self, joints_TVC: Motion) -> Float[np.ndarray, " F"]:
        """Power at 1, 1 + 1/padding, ..., T/2 repetitions per clip, summed over coordinates."""
        frames = len(joints_TVC)
        # Hann's two zero ends fall outside the clip: otherwise nothing would remain of a clip of two frames.
        window_T = np.hanning(frames + 2)[1:-1, None]
        spectrum_FK = np.fft.rfft(coordinates(joints_TVC) * window_T, n=self.padding * frames, axis=0)
        power_F = (np.abs(spectrum_FK) ** 2).sum(axis=1)
        bins = np.arange(self.padding, max(self.padding, self.padding * frames // 2) + 1)
        product_F = power_F[bins]
        for harmonic in range(2, self.harmonics + 1):
            within = bins * harmonic < len(power_F)
            product_F = product_F * np.where(within, power_F[np.where(within, bins * harmonic, 0)], 0.0)
        return product_F
