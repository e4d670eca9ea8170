"""The shipped classifier, loaded once."""

from __future__ import annotations

import pytest

from sentinel.injection.classifier import InjectionClassifier, shared_classifier


@pytest.fixture(scope="session")
def classifier() -> InjectionClassifier:
    return shared_classifier()
