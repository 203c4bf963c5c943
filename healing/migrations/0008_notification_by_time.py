from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("healing", "0007_incident_of_service"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="notification",
            index=models.Index(fields=["-created_at"], name="notification_by_time"),
        ),
        migrations.AddIndex(
            model_name="notification",
            index=models.Index(fields=["channel", "-created_at"], name="notification_of_channel"),
        ),
    ]
