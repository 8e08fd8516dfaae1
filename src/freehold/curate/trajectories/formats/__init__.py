"""A trajectory, or a whole run, in each form that it leaves by. Pure: values in, JSON values out."""
