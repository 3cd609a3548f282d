"""A module that starts a thread when it is imported, as libraries may."""

import threading

threading.Thread(target=threading.Event().wait, name="toy", daemon=True).start()
