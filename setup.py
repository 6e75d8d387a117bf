"""Packaging of sshexec: three top-level folders that install under one import name (docs/architecture.md)."""

from setuptools import find_packages, setup

ROOMS = {"sshexec.connectors": "connectors", "sshexec.inventory": "inventory"}

packages = find_packages(include=["sshexec", "sshexec.*"])
for name, folder in ROOMS.items():
    packages += [name, *(f"{name}.{package}" for package in find_packages(folder))]

setup(packages=packages, package_dir=ROOMS)
