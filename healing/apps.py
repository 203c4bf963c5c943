from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate


class HealingConfig(AppConfig):
    name = "healing"
    verbose_name = "Healing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from healing import actions, checks, sessions  # noqa: F401 - a plugin that does not fit stops every process at its start
        from healing.ledger import grants, guards

        user_logged_in.connect(sessions.begin, dispatch_uid="session_begins")
        post_migrate.connect(guards.after_migrate, sender=self, dispatch_uid="ledger_guards")
        post_migrate.connect(grants.after_migrate, sender=self, dispatch_uid="ledger_grants")
