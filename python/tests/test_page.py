"""The Python of docs/from-mindspore.md is MindSpore's; with its import changed it runs here."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]


def test_lines_of_mindspore_run(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "from-mindspore.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert program.count("import mindspore as ms") == 1
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(compile(program.replace("import mindspore as ms", "import mindir as ms"), "from-mindspore.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["[7 6 3]", "[] ['epoch']", "7"]
