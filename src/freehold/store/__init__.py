"""Everything that is kept: journal segments, the trace table, the control database, students' files."""
