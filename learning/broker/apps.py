from django.apps import AppConfig


class BrokerConfig(AppConfig):
    name = "learning.broker"
    label = "memory"
    verbose_name = "Memory"
    default_auto_field = "django.db.models.BigAutoField"
