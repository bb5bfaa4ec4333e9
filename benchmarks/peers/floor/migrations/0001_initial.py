from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = [
        migrations.CreateModel(
            "Link",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("user", models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)),
                ("uid", models.CharField(max_length=255)),
                ("token", models.JSONField()),
            ],
        ),
        migrations.AddConstraint(
            "Link", models.UniqueConstraint(fields=["user", "uid"], name="floor_link_unique")
        ),
    ]
