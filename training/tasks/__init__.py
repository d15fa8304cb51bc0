"""What each command does once its arguments are right; these modules import Keras and whatever else takes long."""
