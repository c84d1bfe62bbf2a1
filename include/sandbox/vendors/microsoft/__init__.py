"""
Microsoft's identity platform, Graph and the OneDrive upload host, as far as a client meets them that keeps
files in a user's OneDrive under an application's identity.

Three services on three ports, as in reality, around one set of drives (``drive.py``). All three must run
together: Graph asks the identity service about tokens, the upload host keeps its files in Graph's drives.

Sources: Microsoft's pages on client credentials, certificate credentials, createUploadSession, driveItem and
OneDrive's error answers; the behaviour of MSAL for Python 1.39; issues reported to OneDrive's API repository
and to rclone. Where these disagree or say nothing, a switch in the vendor's ``Options`` chooses, and its
comment says so.
"""

from include.sandbox.vendors.microsoft.graph import Graph
from include.sandbox.vendors.microsoft.identity import Identity
from include.sandbox.vendors.microsoft.upload import Upload

__all__ = ["Graph", "Identity", "Upload"]
