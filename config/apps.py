from django.apps import AppConfig


class ShellConfig(AppConfig):
    """Makes the Celery app the one that every `shared_task` sends by, in whatever process Django runs."""

    name = "config"
    label = "shell"

    def ready(self) -> None:
        from config import celery  # noqa: F401  (making it is registering it)
