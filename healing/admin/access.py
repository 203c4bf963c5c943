"""Users, roles and tokens.

Rules that this module keeps:
1. What a person may do comes from roles (groups). Only a superuser touches a superuser, or makes one.
2. Nobody is deleted: votes and log entries name them. They are deactivated.
3. A token's secret is in the one answer that makes it, and is stored nowhere. Everybody with a role makes and revokes their own;
   administrators those of others too, but none that approves: nobody answers in somebody else's name.
4. Every change stands in the log, in the transaction of the change. A change of what somebody may do ends their sessions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.views.decorators.cache import never_cache
from django_otp.plugins.otp_static import admin as otp_static
from django_otp.plugins.otp_totp import admin as otp_totp
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminSelectWidget

from healing import access, lockout, second_factor, sessions
from healing.admin import words
from healing.admin.base import Act, ActingAdmin, PageAdmin, ReadOnlyAdmin, address_of, sentence
from healing.admin.forms import PageForm, form_page
from healing.models import Token, User
from healing.notifications import tokens
from selfheal.errors import Invalid

CHANGE = "healing.change_user"
LIVES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("never", "never (ingest only)")]

# Their pages show secrets: nobody looks at another person's second factor, not even an administrator.
admin.site.unregister((otp_totp.TOTPDevice, otp_static.StaticDevice))


def sign_out(request: HttpRequest, thing: User, said: dict[str, Any], at: datetime) -> str:
    ended = sessions.end_all(thing, request.user.get_username(), "asked for", at, but=request.session.session_key)
    return f"{thing} is signed out of {ended} browser{'' if ended == 1 else 's'}"


def unlock(request: HttpRequest, thing: User, said: dict[str, Any], at: datetime) -> str:
    lockout.unlock(thing, request.user.get_username(), at)
    return f"{thing} may sign in again"


def reset_second_factor(request: HttpRequest, thing: User, said: dict[str, Any], at: datetime) -> str:
    second_factor.remove(thing, request.user.get_username(), at)
    return f"the second factor of {thing} is taken away"


@admin.register(User)
class UserAdmin(ActingAdmin, DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "roles", "is_active", "seen")
    list_filter = ("is_active", "groups")
    actions = None
    change_form_outer_after_template = "admin/healing/user_acts.html"
    acts = (
        Act("sign-out", "Sign out everywhere", CHANGE, sign_out, "End every session of this person?"),
        Act("unlock", "Unlock", CHANGE, unlock, "Let this person try again at once?", applies=lockout.is_locked),
        Act(
            "reset-second-factor",
            "Reset second factor",
            CHANGE,
            reset_second_factor,
            "Take the second factor away? Be sure who asks: from then on the password alone is enough to set up a new one.",
            style="danger",
            applies=second_factor.is_set_up,
        ),
    )
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "time_zone")}),
        ("What they may do", {"fields": ("is_active", "is_staff", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("username", "groups", "usable_password", "password1", "password2")}),
    )
    readonly_fields = ("last_login", "date_joined")

    @display(description="roles")
    def roles(self, row: User) -> str:
        return ", ".join(group.name for group in row.groups.all()) or ("superuser" if row.is_superuser else "–")

    @display(description="last signed in", ordering="last_login")
    def seen(self, row: User) -> str:
        return words.relative_tag(row.last_login, timezone.now())

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def allowed(self, request: HttpRequest, act: Act, thing: Any) -> bool:
        return self.has_change_permission(request, thing)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        thing = self.get_object(request, object_id)
        buttons = self.buttons(request, thing) if thing else {}
        return super().change_view(request, object_id, form_url, {**buttons, **(extra_context or {})})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        if obj is None or not request.user.is_superuser:
            return shown
        return [*shown, ("Superuser", {"fields": ("is_superuser",), "classes": ("collapse",)})]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "time_zone":
            zones = [("", "the zone of the installation"), *((zone, zone) for zone in sorted(available_timezones()))]
            return forms.ChoiceField(
                choices=zones, required=False, widget=UnfoldAdminSelectWidget(), help_text=db_field.help_text
            )
        if db_field.name == "groups":
            roles = Group.objects.order_by("pk")
            return forms.ModelMultipleChoiceField(
                roles,
                label="Roles",
                required=False,
                widget=UnfoldAdminCheckboxSelectMultipleWidget(),
                help_text="what they may do, together",
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        below = obj is None or request.user.is_superuser or not obj.is_superuser
        return bool(below and super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            obj.is_staff = True  # everybody with an account signs in here; what they see is their role's
        else:
            request.standing_before = access.standing(obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        access.log_user(obj, "user.created", None, str(message), request.user.get_username(), timezone.now())
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        before = getattr(request, "standing_before", None)
        if before is None:
            access.log_password(obj, request.user.get_username(), timezone.now())
        else:
            self._changed(request, obj, before, str(message))
        return super().log_change(request, obj, message)

    def _changed(self, request: HttpRequest, user: User, before: dict[str, Any], message: str) -> None:
        actor, at = request.user.get_username(), timezone.now()
        access.log_user(user, "user.changed", before, message, actor, at)
        told = ("active", "staff", "superuser", "roles", "permissions")
        after = access.standing(user)
        if any(before[what] != after[what] for what in told):
            sessions.end_all(user, actor, "what they may do was changed", at, but=request.session.session_key)


def own_password(request: HttpRequest) -> HttpResponse:
    """Somebody changes their own password: the page of the admin, and its entry in the same transaction."""
    with transaction.atomic():
        response = admin.site.password_change(request)
        if request.method == "POST" and response.status_code == 302:
            user = User.objects.get(username=request.user.get_username())
            access.log_password(user, user.username, timezone.now())
    return response


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(ReadOnlyAdmin, DjangoGroupAdmin):  # type: ignore[misc]
    """The roles and what they may do; both are the program's and change with it."""

    list_display = ("name", "members")
    fields = readonly_fields = ("name", "members", "may")
    empty_title = "No roles yet"
    empty_hint = "`selfheal up` and `selfheal user create` make them: viewer, operator, approver, admin."

    @display(description="members")
    def members(self, row: Group) -> str:
        return ", ".join(row.user_set.values_list("username", flat=True)) or "–"

    @display(description="what they may do")
    def may(self, row: Group) -> str:
        names = row.permissions.order_by("name").values_list("name", flat=True)
        return format_html_join("", "<div>{}</div>", ((name,) for name in names)) or "–"


def revoke(request: HttpRequest, thing: Token, said: dict[str, Any], at: datetime) -> str:
    access.revoke_token(str(thing.public_id), request.user.get_username(), at)
    return f"the token {thing} is revoked"


class TokenForm(PageForm):
    """A token to be made; `user` only for those who make them for others."""

    user = forms.ModelChoiceField(
        User.objects.filter(is_active=True).order_by("username"), label="Of", help_text="whose rights it has, within its scopes"
    )
    name = forms.CharField(max_length=100, help_text="what it is for, so that you know later whether it is still needed")
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in access.SCOPES], widget=forms.CheckboxSelectMultiple, help_text="as few as do"
    )
    domains = forms.CharField(
        required=False, max_length=300, help_text="whose memory it may ask, for the scope memory: host, web"
    )
    expires = forms.ChoiceField(label="Expires after", choices=LIVES, initial="90")

    def __init__(self, maker: User, said: Any = None) -> None:
        super().__init__(said, initial={"user": maker.pk})
        self.maker = maker
        if not maker.has_perm("healing.add_token"):
            del self.fields["user"]
        if not maker.has_perm("healing.configure"):  # nobody hands a domain to themselves
            del self.fields["domains"]

    def make(self, at: datetime) -> tuple[Token, str] | None:
        """The token and its text; None: what is wrong stands in the form."""
        if not self.is_valid():
            return None
        said = self.cleaned_data
        user = said.get("user", self.maker)
        life = None if said["expires"] == "never" else timedelta(days=int(said["expires"]))
        try:
            if user != self.maker and "approve" in said["scopes"]:
                raise Invalid("a token that approves is made by the person in whose name it does", field="scopes")
            domains = said.get("domains", "").replace(",", " ").split()
            return access.create_token(user, said["scopes"], life, said["name"], self.maker.username, at, domains)
        except Invalid as error:
            self.add_error(error.field or None, sentence(str(error)))
            return None


@admin.register(Token)
class TokenAdmin(PageAdmin):
    """Tokens without their secrets: all of them to administrators, to everybody else their own."""

    page_template = "admin/healing/token.html"
    page_key = "public_id"
    list_display = ("link", "user", "scopes_line", "made", "expires", "used")
    list_display_links = None
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    empty_title = "No token"
    empty_hint = "Add one here, or on the machine: `selfheal token create --user NAME --scope ingest --expires 90d`."
    empty_next = (("Make a token", "add/"),)
    acts = (
        Act(
            "revoke",
            "Revoke",
            "healing.delete_token",
            revoke,
            "Revoke this token? What uses it is refused from then on.",
            style="danger",
        ),
    )

    def has_view_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        return bool(super().has_view_permission(request, obj) or access.role_of(request.user))  # type: ignore[arg-type]

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return bool(access.role_of(request.user))  # type: ignore[arg-type]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Token]:
        tokens = super().get_queryset(request)
        return tokens if request.user.has_perm("healing.view_token") else tokens.filter(user_id=request.user.pk)

    def allowed(self, request: HttpRequest, act: Act, thing: Token) -> bool:
        return thing.user_id == request.user.pk or super().allowed(request, act, thing)

    @method_decorator(never_cache)
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The form, and once its answer with the secret."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = TokenForm(request.user, request.POST if request.method == "POST" else None)  # type: ignore[arg-type]
        made = form.make(timezone.now()) if request.method == "POST" else None
        if made is None:
            return form_page(self, request, "token_form", form, None, "Make a token")
        shown = {"thing": made[0], "secret": made[1], "base": settings.SELF_HEAL_BASE_URL, "at": timezone.now()}
        return form_page(self, request, "token_made", form, None, "The token is made", **shown)

    def address(self, thing: Token) -> str:
        return reverse("admin:healing_token_changelist")

    def page(self, request: HttpRequest, thing: Token, at: datetime) -> dict[str, Any]:
        return {"original": str(thing)}  # the row itself would put its key, the hash of the secret, into a link

    @display(description="token")
    def link(self, row: Token) -> str:
        return format_html('<a href="{}">{}</a>', address_of(row, "public_id"), str(row))

    @display(description="scopes")
    def scopes_line(self, row: Token) -> str:
        return ", ".join(row.scopes)

    @display(description="made")
    def made(self, row: Token) -> str:
        return words.relative_tag(row.created, timezone.now())

    @display(description="expires")
    def expires(self, row: Token) -> str:
        if row.expiry is None:
            return "never"
        shown, soon = words.relative_tag(row.expiry, timezone.now()), tokens.ends_soon(row, timezone.now())
        return format_html('{} <span class="sh-badge sh-warning">ends soon</span>', shown) if soon else shown

    @display(description="last used")
    def used(self, row: Token) -> str:
        return words.relative_tag(row.last_used_at, timezone.now())
