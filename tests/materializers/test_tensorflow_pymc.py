"""FlowyML's other two families have an answer: a TensorFlow module goes through the adapter for folders, a PyMC model through pickle.

Each in a process of its own: TensorFlow, PyTorch and JAX are not meant to share one.
"""

from __future__ import annotations

import subprocess
import sys

TENSORFLOW = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["CUDA_VISIBLE_DEVICES"] = "3", ""
from pathlib import Path
import tensorflow as tf
from aioartifacts import sync
from aioartifacts.materializers.directory import directory_materializer

class SavedModelMaterializer:
    def save(self, obj, directory):
        tf.saved_model.save(obj, str(directory))
    def load(self, directory):
        return tf.saved_model.load(str(directory))

class Line(tf.Module):
    def __init__(self):
        super().__init__()
        self.slope = tf.Variable([[2.0], [0.5]])
    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def __call__(self, x):
        return x @ self.slope + 1.0

store = sync.MemoryArtifactStore(trust="all")
store.materializers.register(directory_materializer(SavedModelMaterializer, types=tf.Module), types=tf.Module)
line = Line()
store.save(line, "model")
back = store.load("model")
given = tf.constant([[1.0, 4.0], [3.0, -2.0]])
assert back(given).numpy().tolist() == line(given).numpy().tolist() == [[5.0], [6.0]]
assert back.slope.numpy().tolist() == line.slope.numpy().tolist()
print(store.info("model").format)
"""

PYMC = """
import numpy as np
import pymc as pm
from aioartifacts import sync

with pm.Model() as model:
    mean = pm.Normal("mean", 0, 1)
    pm.Normal("seen", mean, 1, observed=np.array([1.0, 2.0, 3.0]))
store = sync.MemoryArtifactStore(trust="all")
store.save(model, "model")
back = store.load("model")
assert type(back) is pm.Model
assert list(back.named_vars) == ["mean", "seen"]
assert back.rvs_to_values[back["seen"]].data.tolist() == [1.0, 2.0, 3.0]
assert back.initial_point() == model.initial_point()
print(store.info("model").format)
"""


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_tensorflow_module_goes_through_the_adapter_for_folders() -> None:
    assert said(TENSORFLOW) == "directory-savedmodelmaterializer"


def test_pymc_model_goes_through_pickle() -> None:
    assert said(PYMC) == "pickle"
