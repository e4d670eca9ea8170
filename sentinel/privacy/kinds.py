"""The kinds of personal data that are found, and the groups under which a policy may also speak of them."""

from __future__ import annotations

_NATIONAL = (
    *(
        "us_ssn",
        "us_itin",
        "uk_nino",
        "uk_nhs",
        "es_dni",
        "es_nie",
        "fr_nir",
        "it_codice_fiscale",
        "de_tax_id",
        "nl_bsn",
        "br_cpf",
        "pl_pesel",
    ),
    *("se_personnummer", "fi_hetu", "dk_cpr", "no_fodselsnummer", "ch_ahv", "be_nn", "ca_sin", "au_tfn", "in_aadhaar", "mx_curp", "cn_ric"),
    *("kr_rrn", "tr_tckimlik", "za_id", "pt_nif", "ro_cnp", "cz_rodne_cislo", "ar_cuit", "cl_rut"),
)
GROUPS: dict[str, str] = {
    **dict.fromkeys(("email", "phone", "date_of_birth", "passport"), "contact"),
    **dict.fromkeys(("ip_address", "mac_address"), "network"),
    **dict.fromkeys(("credit_card", "iban", "bank_account", "crypto_address"), "financial"),
    **dict.fromkeys(("api_key", "jwt", "bearer_token", "private_key", "secret", "password"), "credential"),
    **dict.fromkeys(_NATIONAL, "national_id"),
}
"""Kind → group."""
NAMES: tuple[str, ...] = tuple(sorted({*GROUPS, *GROUPS.values()}))
"""What a policy may name."""
