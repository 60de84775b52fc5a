"""Examples in docs and README run, and the stubs say what is there."""

import ast
import doctest
import inspect
import pathlib

import mindir
import pytest

MODULES = {"mindir": mindir, "mindir.nn": mindir.nn, "mindir.context": mindir.context, "mindir.errors": mindir.errors}
PACKAGE = pathlib.Path(mindir.__file__).parent


def documented():
    finder = doctest.DocTestFinder(recurse=False)
    things = {"mindir": mindir}
    for name in dir(mindir):
        thing = getattr(mindir, name)
        if inspect.isclass(thing) or inspect.isroutine(thing):
            things[f"mindir.{name}"] = thing
        if inspect.isclass(thing):
            things.update({f"mindir.{name}.{part}": getattr(thing, part) for part in vars(thing)})
    for name, thing in things.items():
        for test in finder.find(thing, name, module=False, globs={}):
            if test.examples:
                yield pytest.param(test, id=name)
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
    yield pytest.param(doctest.DocTestParser().get_doctest(readme, {}, "README.md", "README.md", 0), id="README.md")


@pytest.mark.parametrize("test", list(documented()))
def test_example(test):
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_there_are_examples():
    assert len(list(documented())) >= 15


def test_stubs_have_what_the_package_has():
    names = {name for name in dir(mindir) if not name.startswith("_")} - {"serialization"}
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    told = {}
    for node in stub.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            told[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            told[node.target.id] = node
        elif isinstance(node, ast.ImportFrom):
            told.update({alias.asname: node for alias in node.names if alias.asname})
    assert {name for name in told if not name.startswith("_")} == names
    for name, node in told.items():
        if isinstance(node, ast.ClassDef) and not name.startswith("_"):
            thing = getattr(mindir, name)
            methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            assert {part for part in methods if not hasattr(thing, part)} == set(), name
            public = {part for part in vars(thing) if not part.startswith("_")}
            assert public <= methods | {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}, name


@pytest.mark.parametrize("name", ["load", "export", "convert", "load_checkpoint", "load_param_into_net", "save_checkpoint"])
def test_stubs_have_the_arguments(name):
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    told = next(node for node in stub.body if isinstance(node, ast.FunctionDef) and node.name == name).args
    names = [a.arg for a in told.posonlyargs + told.args] + ([told.vararg.arg] if told.vararg else [])
    names += [a.arg for a in told.kwonlyargs]
    assert names == list(inspect.signature(getattr(mindir, name)).parameters)
