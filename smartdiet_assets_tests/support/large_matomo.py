"""Filling a Matomo with very many rows, which the server makes up itself: for the large test and the benchmark."""

from __future__ import annotations

from typing import Any

from pymysql.connections import Connection

from smartdiet_assets_tests.support.matomo_mirror import Matomo

ACTIONS = 2_000

_LOG_ACTION = f"""\
INSERT INTO matomo_log_action (idaction, name, hash, type, url_prefix)
SELECT seq, concat('app.example/pagé/', seq), crc32(seq), 1 + 3 * (seq % 2), 2 FROM seq_1_to_{ACTIONS}"""

_LOG_VISIT = """\
INSERT INTO matomo_log_visit (
  idvisit, idsite, idvisitor, visit_last_action_time, config_id, location_ip, profilable, user_id,
  visit_first_action_time, visit_goal_buyer, visit_goal_converted, visitor_returning, visitor_seconds_since_first,
  visitor_count_visits, visit_entry_idaction_name, visit_entry_idaction_url, visit_exit_idaction_name,
  visit_exit_idaction_url, visit_total_actions, visit_total_interactions, visit_total_searches, referer_keyword,
  referer_name, referer_type, referer_url, location_browser_lang, config_browser_engine, config_browser_name,
  config_browser_version, config_client_type, config_device_brand, config_device_model, config_device_type, config_os,
  config_os_version, visit_total_events, visitor_localtime, config_resolution, config_cookie, config_pdf,
  visit_total_time, location_city, location_country, location_latitude, location_longitude, location_region,
  custom_dimension_1)
SELECT seq, 1 + seq % 3, unhex(lpad(hex(seq DIV 3), 16, '0')), '2024-01-01' + INTERVAL seq * 60 SECOND,
  unhex(lpad(hex(seq * 7), 16, '0')), unhex('51020300'), 1, IF(seq % 3, md5(seq DIV 3), NULL),
  '2024-01-01' + INTERVAL seq * 60 - seq % 900 SECOND, 0, seq % 20 = 0, seq % 2, seq % 9999999, 1 + seq % 40,
  2 + 2 * (seq % 900), 1 + 2 * (seq % 900), 2 + 2 * (seq % 400), IF(seq % 50, 1 + 2 * (seq % 400), 0), 3, 3, 0, NULL,
  IF(seq % 3, 'example.org', NULL), 1 + seq % 3, IF(seq % 3, concat('https://example.org/?é=', seq), NULL), 'fr-fr',
  'Blink', 'CH', '126.0', 1, 'Apple', 'iPhone 15', seq % 3, 'WIN', '10', 0, sec_to_time(seq % 86400), '1920x1080', 1, 1,
  seq % 900, 'Évreux', 'fr', seq % 90, -(seq % 180) / 7, 'NOR', IF(seq % 4, 'premium', NULL)
FROM seq_1_to_%s"""

_LOG_LINK_VISIT_ACTION = """\
INSERT INTO matomo_log_link_visit_action (
  idlink_va, idsite, idvisitor, idvisit, idaction_url_ref, idaction_name_ref, pageview_position, server_time,
  idpageview, idaction_name, idaction_url, time_spent_ref_action, time_network, time_server, time_transfer,
  time_dom_processing, time_dom_completion, time_on_load, time_spent, custom_dimension_1)
SELECT seq, 1 + ((seq - 1) %% {visits} + 1) %% 3, unhex('0011223344556677'), (seq - 1) %% {visits} + 1,
  IF(seq %% 3, 1 + 2 * (seq %% 900), 0), IF(seq %% 3, 2 + 2 * (seq %% 900), NULL), 1 + seq %% 3,
  '2024-01-01' + INTERVAL ((seq - 1) %% {visits} + 1) * 60 SECOND, lpad(hex(seq), 6, '0'), 2 + 2 * (seq %% 999),
  1 + 2 * (seq %% 999), seq %% 240, seq %% 50, seq %% 300, seq %% 20, seq %% 500, seq %% 700, seq %% 30, seq %% 240,
  IF(seq %% 4, 'premium', NULL)
FROM seq_1_to_{views}"""


def fill(connection: Connection[Any], visits: int, views: int) -> None:
    """Fill the tables of an empty Matomo: 2,000 texts, visits a minute apart, and page views of all of them."""
    with connection.cursor() as cursor:
        cursor.execute(_LOG_ACTION)
        cursor.execute(_LOG_VISIT.replace("%s", str(visits)))
        cursor.execute(_LOG_LINK_VISIT_ACTION.format(visits=visits, views=views).replace("%%", "%"))


def fill_large(matomo: Matomo, visits: int, views: int) -> None:
    """Fill a test's Matomo."""
    fill(matomo.source, visits, views)
