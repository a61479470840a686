"""What an editor sees of the package: jedi reads source and stubs, and runs nothing."""

import inspect

import jedi
import pytest

import keras_stc
from keras_stc.models.zoo import CONSTRUCTORS


def completed(code):
    return {completion.name for completion in jedi.Script(code).complete()}


@pytest.mark.parametrize("package", [keras_stc, keras_stc.data, keras_stc.transfer])
def test_public_names_complete(package):
    name = package.__name__
    public = {each for each in package.__all__ if not each.startswith("_")}
    assert len(public) > 7 and public <= completed(f"import {name}\n{name}.")
    for each in public:
        assert getattr(package, each) is not None


def test_every_constructor_is_public_and_shows_its_arguments():
    for constructor in CONSTRUCTORS.values():
        assert getattr(keras_stc, constructor.__name__) is constructor
    for name in ("STCResNet18", "InceptionI3D", "predict_video", "load_model"):
        code = f"import keras_stc\nkeras_stc.{name}("
        (seen,) = jedi.Script(code).get_signatures()
        real = inspect.signature(getattr(keras_stc, name)).parameters
        assert [parameter.name for parameter in seen.params] == list(real)
