"""Those who are measured. A module that is a program may import its own tool only: it runs in an environment without ours."""
