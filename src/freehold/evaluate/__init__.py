"""A student and a dataset in, a plan of thresholds out; and on certify, a certificate."""
