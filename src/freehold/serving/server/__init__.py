"""An OpenAI-compatible server of language models of one's own: `freehold student serve`. Imports torch.

Public names: `create_server`, `serve`, `ModelSource`, `Served`, `FolderModels`, `StudentModels`, `Worker`, `Limits`.

    models, students   where models come from: folders, or the students of a data folder
    worker             the thread that computes
    asking             admission, waiting, cancelling
    chat, completions  the endpoints; protocol, replies, events: their forms
    app, counts, serve the application, what it counts, the process
"""

from freehold.serving.server.app import create_server
from freehold.serving.server.asking import Limits
from freehold.serving.server.models import FolderModels, ModelSource, Served
from freehold.serving.server.serve import serve
from freehold.serving.server.students import StudentModels
from freehold.serving.server.worker import Worker

__all__ = ["FolderModels", "Limits", "ModelSource", "Served", "StudentModels", "Worker", "create_server", "serve"]
