"""A program of two models that share an arena, `one` and `two`, and what each gives alone."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from saved_model import run

SHARED = """\
#include "one.h"
#include "two.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

__attribute__((aligned(16))) uint8_t shared[ONE_ARENA_SIZE > TWO_ARENA_SIZE ? ONE_ARENA_SIZE
                                                                            : TWO_ARENA_SIZE];

int main(void)
{
    int8_t image[ONE_INPUT0_SIZE], first[ONE_OUTPUT0_SIZE];
    int round;
    for (round = 0; round < 2; round++) {
        memset(image, 5, sizeof image);
        memcpy(one_input(0), image, sizeof image);
        if (one_invoke()) return 1;
        if (round && memcmp(first, one_output(0), sizeof first)) return 2;
        memcpy(first, one_output(0), sizeof first);
        memcpy(two_input(0), image, sizeof image);
        if (two_invoke()) return 3;
        printf("%d %d\\n", first[0], ((const int8_t *)two_output(0))[0]);
    }
    return (const uint8_t *)one_output(0) < shared || (uint8_t *)two_input(0) < shared;
}
"""


def run_alone(part: Path, build: Path) -> str:
    """Output 0 of the same input with an arena of the model's own, on this computer."""
    name = part.name
    build.mkdir()
    (build / "main.c").write_text(
        f'#include "{name}.h"\n#include <stdio.h>\n#include <string.h>\n'
        f"int main(void) {{ memset({name}_input(0), 5, {name.upper()}_INPUT0_SIZE);\n"
        f'    {name}_invoke(); printf("%d\\n", *(const signed char *){name}_output(0)); }}'
    )
    sources = [build / "main.c", *part.rglob("src/**/*.c")]
    headers = [f"-I{part / folder}" for folder in ("include", "src")]
    run("cc", "-O1", *headers, *sources, "-lm", "-o", build / "main")
    return run(build / "main").strip()
