"""The command line: one file per command, each a few steps around one function of the library.

Exit codes: 0 all done; 1 some trials failed, or were trained and kept but could not be published in
MLflow or reported, or a report or a cache is not what it should be; 2 the request was wrong and
nothing was started; 130 interrupted, the same command resumes.
"""

from ablate.cli.main import app as app
from ablate.cli.main import main as main
