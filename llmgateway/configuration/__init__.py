"""Configuration as code: reads a YAML file into rows, and writes the rows as YAML.

Everything is read and validated first; each fault has its line; only a file without faults is applied, in one
transaction. What a file does not name is left as it is, except that an alias's targets are the ones listed.
"""

from llmgateway.configuration.exporting import export
from llmgateway.configuration.faults import ConfigurationFaulty, Fault, Import
from llmgateway.configuration.importing import import_text
from routing.configuration.variables import variable_name

__all__ = ["ConfigurationFaulty", "Fault", "Import", "export", "import_text", "variable_name"]
