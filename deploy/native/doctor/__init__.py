"""``portalpulse doctor``: examines every part of the set-up, and says what is wrong and what to do. It changes nothing."""
