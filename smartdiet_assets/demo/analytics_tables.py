"""The tables of a Matomo 5, as its installer and its bundled plugins make them."""

_OPTIONS = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci ROW_FORMAT=DYNAMIC"
_OLD_TEXT = "VARCHAR(100) CHARACTER SET utf8 COLLATE utf8_general_ci NULL DEFAULT NULL"
_PLUGINS = ("cookie", "flash", "java", "pdf", "quicktime", "realplayer", "silverlight", "windowsmedia")
_TIMINGS = ("dom_completion", "dom_processing", "network", "on_load", "server", "transfer")
_CUSTOM = [f"custom_dimension_{number} VARCHAR(255) DEFAULT NULL" for number in range(1, 6)]
#: References to log_action.
_NUMBER = "INTEGER(10) UNSIGNED NULL DEFAULT NULL"

_LOG_ACTION = [
    "idaction INTEGER(10) UNSIGNED NOT NULL AUTO_INCREMENT",
    "name VARCHAR(4096)",
    "hash INTEGER(10) UNSIGNED NOT NULL",
    "type TINYINT UNSIGNED NULL",
    "url_prefix TINYINT(2) NULL",
    "PRIMARY KEY (idaction)",
    "INDEX index_type_hash (type, hash)",
]

_LOG_VISIT = [
    "idvisit BIGINT(10) UNSIGNED NOT NULL AUTO_INCREMENT",
    "idsite INTEGER(10) UNSIGNED NOT NULL",
    "idvisitor BINARY(8) NOT NULL",
    "visit_last_action_time DATETIME NOT NULL",
    "config_id BINARY(8) NOT NULL",
    "location_ip VARBINARY(16) NOT NULL",
    "profilable TINYINT(1) NULL",
    "user_id VARCHAR(200) NULL",
    "visit_first_action_time DATETIME NOT NULL",
    "visit_goal_buyer TINYINT(1) NULL",
    "visit_goal_converted TINYINT(1) NULL",
    "visitor_returning TINYINT(1) NULL",
    "visitor_seconds_since_first INT(11) UNSIGNED NULL",
    "visitor_seconds_since_order INT(11) UNSIGNED NULL",
    "visitor_count_visits INT(11) UNSIGNED NOT NULL DEFAULT 0",
    "visit_entry_idaction_name INTEGER(10) UNSIGNED NULL",
    "visit_entry_idaction_url INTEGER(11) UNSIGNED NULL DEFAULT NULL",
    "visit_exit_idaction_name INTEGER(10) UNSIGNED NULL",
    "visit_exit_idaction_url INTEGER(10) UNSIGNED NULL DEFAULT 0",
    "visit_total_actions INT(11) UNSIGNED NULL",
    "visit_total_interactions MEDIUMINT UNSIGNED DEFAULT 0",
    "visit_total_searches SMALLINT(5) UNSIGNED NULL",
    "referer_keyword VARCHAR(255) NULL",
    "referer_name VARCHAR(255) NULL",
    "referer_type TINYINT(1) UNSIGNED NULL",
    "referer_url VARCHAR(1500) NULL",
    "location_browser_lang VARCHAR(20) NULL",
    "config_browser_engine VARCHAR(10) NULL",
    "config_browser_name VARCHAR(40) NULL",
    "config_browser_version VARCHAR(20) NULL",
    "config_client_type TINYINT(1) NULL DEFAULT NULL",
    f"config_device_brand {_OLD_TEXT}",
    f"config_device_model {_OLD_TEXT}",
    "config_device_type TINYINT(100) NULL DEFAULT NULL",
    "config_os CHAR(3) NULL",
    f"config_os_version {_OLD_TEXT}",
    "visit_total_events INT(11) UNSIGNED NULL",
    "visitor_localtime TIME NULL",
    "visitor_seconds_since_last INT(11) UNSIGNED NULL",
    "config_resolution VARCHAR(18) NULL",
    *(f"config_{plugin} TINYINT(1) NULL" for plugin in _PLUGINS),
    "visit_total_time INT(11) UNSIGNED NOT NULL",
    "location_city VARCHAR(255) DEFAULT NULL",
    "location_country CHAR(3) NULL",
    "location_latitude DECIMAL(9, 6) DEFAULT NULL",
    "location_longitude DECIMAL(9, 6) DEFAULT NULL",
    "location_region CHAR(3) DEFAULT NULL",
    "last_idlink_va BIGINT UNSIGNED DEFAULT NULL",
    *_CUSTOM,
    "PRIMARY KEY (idvisit)",
    "INDEX index_idsite_config_datetime (idsite, config_id, visit_last_action_time)",
    "INDEX index_idsite_datetime (idsite, visit_last_action_time)",
    "INDEX index_idsite_idvisitor_time (idsite, idvisitor, visit_last_action_time DESC)",
]

_LOG_LINK_VISIT_ACTION = [
    "idlink_va BIGINT(10) UNSIGNED NOT NULL AUTO_INCREMENT",
    "idsite INT(10) UNSIGNED NOT NULL",
    "idvisitor BINARY(8) NOT NULL",
    "idvisit BIGINT(10) UNSIGNED NOT NULL",
    "idaction_url_ref INTEGER(10) UNSIGNED NULL DEFAULT 0",
    "idaction_name_ref INTEGER(10) UNSIGNED NULL",
    "custom_float DOUBLE NULL DEFAULT NULL",
    "pageview_position MEDIUMINT UNSIGNED DEFAULT NULL",
    "server_time DATETIME NOT NULL",
    "idpageview CHAR(6) NULL DEFAULT NULL",
    "idaction_name INTEGER(10) UNSIGNED",
    f"idaction_url {_NUMBER}",
    "search_cat VARCHAR(200) NULL",
    "search_count INTEGER(10) UNSIGNED NULL",
    "time_spent_ref_action INTEGER(10) UNSIGNED NULL",
    *(f"idaction_product_{part} {_NUMBER}" for part in ("cat", "cat2", "cat3", "cat4", "cat5", "name", "sku")),
    "product_price DOUBLE NULL",
    *(f"idaction_event_{part} {_NUMBER}" for part in ("action", "category")),
    *(f"idaction_content_{part} {_NUMBER}" for part in ("interaction", "name", "piece", "target")),
    *(f"time_{timing} MEDIUMINT(10) UNSIGNED NULL" for timing in _TIMINGS),
    "time_spent INT UNSIGNED DEFAULT NULL",
    *_CUSTOM,
    "PRIMARY KEY (idlink_va)",
    "INDEX index_idvisit (idvisit)",
    "INDEX index_idsite_servertime (idsite, server_time)",
]


def compose_matomo_tables(prefix: str = "matomo_") -> list[str]:
    """Compose the statements that create the tables."""
    tables = {
        "log_action": _LOG_ACTION,
        "log_visit": _LOG_VISIT,
        "log_link_visit_action": _LOG_LINK_VISIT_ACTION,
    }
    return [
        f"CREATE TABLE {prefix}{name} (\n  {f',{chr(10)}  '.join(lines)}\n) {_OPTIONS}"
        for name, lines in tables.items()
    ]
