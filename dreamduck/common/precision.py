"""The numeric precision of trainings; does not import TensorFlow, so that `-h` answers at once."""

from __future__ import annotations

SINGLE, HALF = "float32", "bfloat16"
PRECISIONS = (SINGLE, HALF)
PRECISION_HELP = (
    "of products in the training, weights and sums are float32 in any case; bfloat16 is more than twice as "
    "quick where the processor has it (avx512_bf16 or amx_bf16 in /proc/cpuinfo)"
)
