"""The web side of Haulier: API, tracker, dispatcher, cluster, client. Importing it imports nothing."""

__version__ = "0.1.0"
