"""Inventories of many hosts that nobody contacts."""

from __future__ import annotations

from pathlib import Path

REGIONS = 10


class Estates:
    """Inventories that are read, or whose hosts are scripted.

    Args:
        folder: where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def described(self, count: int, groups: int) -> Path:
        """Return a YAML inventory as companies have them: groups with variables, six variables a host, regions.

        Args:
            count: hosts.
            groups: groups that the hosts are in, of which each is in one of ten regions.
        """
        path = self.folder / f"estate.{count}.{groups}.yml"
        if path.exists():
            return path
        lines = ["all:", "  vars:", "    ansible_user: deploy", "    ntp_servers: [10.0.0.1, 10.0.0.2]", "  children:"]
        for group in range(groups):
            lines += [f"    g{group:04d}:", "      vars:", f"        rack: r{group}", f"        tier: {group % 7}"]
            lines.append("      hosts:")
            for host in range(group, count, groups):
                lines += [
                    f"        host{host:05d}.example.com:",
                    f"          ansible_host: 10.{host >> 16}.{host >> 8 & 255}.{host & 255}",
                    "          ansible_port: 22",
                    f"          serial: 'SN{host:08d}'",
                    "          enabled: true",
                    f"          weight: {host % 100 / 4}",
                    f"          services: [web{host % 5}, db{host % 3}]",
                ]
        for region in range(min(REGIONS, groups)):
            lines += [f"    region{region}:", "      children:"]
            lines += [f"        g{group:04d}:" for group in range(region, groups, REGIONS)]
        path.write_text("\n".join(lines) + "\n")
        return path

    def scripted(self, count: int) -> Path:
        """Return an inventory of hosts that answer in the client's own process what a small command prints."""
        path = self.folder / f"scripted.{count}.yml"
        if not path.exists():
            lines = ["all:", "  vars:", "    ansible_connection: fake", "    fake_answers:"]
            lines += ["      '*': |-", *(f"        line {n} of what a command prints" for n in range(6)), "  hosts:"]
            path.write_text("\n".join(lines + [f"    host{host:05d}:" for host in range(count)]) + "\n")
        return path
