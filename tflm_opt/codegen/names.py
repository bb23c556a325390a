"""Names and text that are safe inside C, whatever a model file calls its tensors.

Names of files are hostile until proved otherwise: quotes, comment ends, newlines, backslashes,
trigraphs, direction marks and lone surrogates all occur.
"""

from __future__ import annotations

import re

from tflm_opt.errors import TflmOptError

# Words that can't name a C or C++ function.
_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t
    char32_t class compl const constexpr const_cast continue decltype default delete do double
    dynamic_cast else enum explicit export extern false float for friend goto if inline int
    int8_t int16_t int32_t int64_t long main mutable namespace new noexcept not not_eq nullptr
    operator or or_eq private protected public register reinterpret_cast restrict return short
    signed sizeof static static_assert static_cast struct switch template this thread_local
    throw true try typedef typeid typename typeof uint8_t uint16_t uint32_t uint64_t union
    unsigned using virtual void volatile wchar_t while xor xor_eq
"""
# Headers that `<name>.h` would stand in front of, some of them on file systems without case.
_HEADERS = """
    arduino assert complex ctype cmsis_gcc errno fenv float inttypes iso646 limits locale math
    memory new setjmp signal stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib
    stdnoreturn string strings tgmath threads time uchar unistd utility vector wchar wctype
"""
_RESERVED = frozenset((_WORDS + _HEADERS).split())
_PREFIXES_OF_KERNELS = ("tflm_opt_", "arm_", "cmsis_nn_")
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 48


def check_model_name(name: str) -> str:
    """`name` if it can start C identifiers and name files, else an error.

    Lower-case letters, digits and single underscores, a letter first, at most 48.
    Raises: TflmOptError.
    """
    bad = (
        not _IDENTIFIER.fullmatch(name)
        or name in _RESERVED
        or len(name) > _LONGEST
        or "__" in name
        or name.endswith("_")
        or f"{name}_".startswith(_PREFIXES_OF_KERNELS)
    )
    if bad:
        raise TflmOptError(
            f"{name!r} can't name the generated C model. Use lower-case letters, digits and "
            "underscores, a letter first, no word of C or its headers; "
            f"{identifier(name)!r} would do"
        )
    return name


def identifier(text: str, fallback: str = "model") -> str:
    """A valid model name made from any text.

    >>> identifier("My Net (v2).keras"), identifier("int"), identifier("1x1")
    ('my_net_v2_keras', 'int_model', 'model_1x1')
    """
    word = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[: _LONGEST - 10].strip("_")
    if not word:
        return fallback
    if not word[0].isalpha():
        word = f"{fallback}_{word}"
    if f"{word}_".startswith(_PREFIXES_OF_KERNELS):
        word = f"{fallback}_{word}"
    elif word in _RESERVED:
        word = f"{word}_{fallback}"
    return word


def comment(text: str, longest: int = 72) -> str:
    """Any text as one line that may stand inside a C comment.

    >>> comment('a*/ "b" ??/')
    'a* / "b" ? ?/'
    """
    line = "".join(char if " " <= char <= "~" else "?" for char in text)
    line = line.replace("\\", "/")
    while "*/" in line or "/*" in line or "??" in line:
        line = line.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
    return line if len(line) <= longest else line[: longest - 3] + "..."
