"""From a configuration of Alertmanager to ours, with a list of what has no counterpart."""

from sentinel.alerting.importer.convert import Imported, import_alertmanager, is_alertmanager

__all__ = ["Imported", "import_alertmanager", "is_alertmanager"]
