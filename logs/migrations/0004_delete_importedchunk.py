from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("logs", "0003_received_at"),
    ]

    operations = [
        migrations.DeleteModel(name="ImportedChunk"),
    ]
