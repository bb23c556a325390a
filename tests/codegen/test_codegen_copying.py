"""Generated code under another name is what would have been generated with that name."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_codegen_generate import layout, small_net

from tflm_opt import codegen
from tflm_opt.codegen.copying import renamed
from tflm_opt.errors import InvalidModel, TflmOptError

NAMES = ("model", "int8", "arena", "op0", "h", "input", "call", "a1_b2", "src", "output0")


@pytest.mark.parametrize("old", NAMES)
@pytest.mark.parametrize("new", ["digits", "init", "op0"])
def test_renamed_is_generated_anew(old: str, new: str) -> None:
    g = small_net()
    before = codegen.generate(g, layout(g), name=old)
    after = codegen.generate(g, layout(g), name=new)
    for suffix in ("c", "h"):
        folder = "src" if suffix == "c" else "include"
        text = renamed(before.files[f"{folder}/{old}.{suffix}"], old, new)
        assert text == after.files[f"{folder}/{new}.{suffix}"]


def test_a_copy_is_a_folder_like_any(tmp_path: Path) -> None:
    g = small_net()
    codegen.write(codegen.generate(g, layout(g), name="one"), tmp_path / "one")
    (tmp_path / "one" / "src" / "notes.c").write_text("mine")
    codegen.copy(tmp_path / "one", tmp_path / "copy", "two")
    codegen.write(codegen.generate(g, layout(g), name="two"), tmp_path / "two")
    for path in (p for p in (tmp_path / "two").rglob("*") if p.is_file()):
        place = path.relative_to(tmp_path / "two")
        assert (tmp_path / "copy" / place).read_bytes() == path.read_bytes(), place
    assert not (tmp_path / "copy" / "src" / "notes.c").exists()
    with pytest.raises(TflmOptError, match="can't name"):
        codegen.copy(tmp_path / "one", tmp_path / "bad", "a b")
    with pytest.raises(InvalidModel, match="not a folder of generated code"):
        codegen.copy(tmp_path, tmp_path / "bad")
