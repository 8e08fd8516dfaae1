"""Owned models that answer in the gateway's own process: closed answers from plain arrays.

Public names: `Classifier`, `StudentAnswer`, `Manifest`, `build_classifier`.
"""

from freehold.upstreams.student.classifier import Classifier, Manifest, StudentAnswer, build_classifier

__all__ = ["Classifier", "Manifest", "StudentAnswer", "build_classifier"]
