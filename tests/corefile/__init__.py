"""Tests of clusterdns.corefile."""
