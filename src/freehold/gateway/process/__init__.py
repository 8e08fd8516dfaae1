"""The processes of a gateway: one worker or several behind one socket, and settings changed while they run."""
