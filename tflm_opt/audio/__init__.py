"""Audio in, log-mel features out: a front end in fixed point, in Python and in C, bit for bit.

Nets for speech don't read samples but a picture of them: how much energy each band of frequencies
has, frame after frame. What a net is trained on must be what the firmware computes, or accuracy is
lost where nobody looks for it. So there is one definition in integers:

    mel = audio.MelFrontEnd()                        # 16 kHz, 40 bands, a frame each 20 ms
    features = mel.features(samples)                 # int16 samples -> int8 (frames, 40)
    audio.write_c(mel, "lib/front_end", name="mel")  # the same in C99: integers, no libm

Its steps are the usual ones (window, Fourier transform, triangular filters on the mel scale,
logarithm), as in Davis and Mermelstein, "Comparison of parametric representations for monosyllabic
word recognition", 1980, without the last cosine transform, which convolutions don't need.
"""

from __future__ import annotations

from tflm_opt.audio.generate import write_c
from tflm_opt.audio.mel import MelFrontEnd

__all__ = ["MelFrontEnd", "write_c"]
