"""The numeric precision of trainings; does not import TensorFlow, so that `-h` answers at once."""

from __future__ import annotations

SINGLE, HALF = "float32", "bfloat16"
PRECISIONS = (SINGLE, HALF)
PRECISION_HELP = (
    "precision of products; weights and sums are always float32; bfloat16 is more than twice as "
    "quick where the processor has it (avx512_bf16 or amx_bf16 in /proc/cpuinfo)"
)
