"""The control database: keys, tasks, datasets, students, certificates, policies, jobs; SQLite or PostgreSQL."""
