"""The methods, one line each, in the paper's order. A new method is its file and its line here."""

from flag3d_ray.methods.counting.detrc import DeTRC
from flag3d_ray.methods.counting.easyshots import EasyShots
from flag3d_ray.methods.counting.fourier import Fourier
from flag3d_ray.methods.counting.hl_rac import HLRAC, Profile
from flag3d_ray.methods.counting.ivac_p2l import IVACP2L
from flag3d_ray.methods.counting.knn import KNN
from flag3d_ray.methods.counting.me_rac import MERAC
from flag3d_ray.methods.counting.pca_peaks import PCAPeaks
from flag3d_ray.methods.counting.random_count import Random
from flag3d_ray.methods.counting.repnet import RepNet
from flag3d_ray.methods.counting.transrac import TransRAC
from flag3d_ray.methods.counting.wavelet import Wavelet

COUNTING = (
    Random,
    KNN,
    PCAPeaks,
    Fourier,
    Wavelet,
    RepNet,
    TransRAC,
    EasyShots,
    IVACP2L,
    DeTRC,
    MERAC,
    HLRAC,
)
# What `run_from_json` must know to read any of them: the methods and the dataclasses in their fields.
RECORDED = (*COUNTING, Profile)
