"""The scheduler: sees what each task needs next and runs it as a resumable job."""
