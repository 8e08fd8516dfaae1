"""An inventory in, the same in five documents that others read out; and whether a document keeps its standard's rules.

    README.md                   Hugging Face's model card
    standards/cyclonedx.json    CycloneDX 1.6 ML-BOM
    standards/spdx.json         SPDX 3.0.1 with the AI, Dataset, Software and licensing profiles
    standards/mof.json, mof.md  the Model Openness Framework's checklist
    standards/osaid.json        the Open Source AI Definition's

Pure: the same inventory gives the same bytes. Writing needs no library; checking needs the extra `sbom`.

Public names: `documents`, `problems`, `mof_class`, `MofReport`, `osaid_report`, `OsaidReport`.
"""

from freehold.release.standards.mof import MofReport, mof_class
from freehold.release.standards.osaid import OsaidReport, osaid_report
from freehold.release.standards.writing import documents, problems

__all__ = ["MofReport", "OsaidReport", "documents", "mof_class", "osaid_report", "problems"]
