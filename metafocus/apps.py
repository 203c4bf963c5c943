from django.apps import AppConfig


class MetafocusConfig(AppConfig):
    name = "metafocus"
    verbose_name = "Meta loop"
    default_auto_field = "django.db.models.BigAutoField"
